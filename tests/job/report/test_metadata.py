from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

from tunewright.job.report.metadata import front_matter


@pytest.fixture
def data_of(made, plan_of):
    """data_of("single", task=..., base=...): the metadata as the hub's own class reads them."""

    def read(shape, task=None, base=None):
        plan, release = plan_of(made(shape)), made(shape).outcome.release
        settings = plan.settings.model_copy(update={"task": task} if task else {})
        held = replace(plan.base, address=base) if base else plan.base
        text = front_matter(release, replace(plan, settings=settings, base=held))
        return ModelCard(text + "# Title\n", ignore_metadata_errors=False).data, text

    return read


def test_the_hubs_own_class_reads_the_card(made):
    data = ModelCard.load(made("single").pulled() / "report" / "README.md").data
    assert (data.model_name, data.pipeline_tag, data.library_name) == ("tiny", "text-classification", "onnx")
    assert data.tags == ["tunewright"]
    assert data.metrics == ["accuracy", "f1", "matthews_correlation"]
    variant = made("single").outcome.release.model.variants[made("single").outcome.release.model.default_variant]
    found = {one.metric_name: one.metric_value for one in data.eval_results}
    assert found == {name: pytest.approx(value, abs=1e-6) for name, value in variant.metrics.items()}
    assert {(one.task_type, one.dataset_name, one.dataset_split) for one in data.eval_results} == {
        ("text-classification", "test rows of tiny", "test")
    }


def test_a_base_of_the_hub_is_named_and_a_folder_is_not(data_of):
    data, text = data_of("single", base="org/model@main")
    assert data.base_model == "org/model"
    assert "/tmp" not in text
    assert data_of("single")[0].base_model is None


def test_a_task_that_the_hub_has_another_word_for_keeps_its_own_as_a_tag(data_of):
    data, text = data_of("regression")
    assert (data.pipeline_tag, data.tags) == ("text-classification", ["tunewright", "text-regression"])
    assert yaml.safe_load(text.split("---")[1])["model-index"][0]["name"] == "tiny"
    assert data_of("regression", task="image-text-classification")[0].pipeline_tag is None
