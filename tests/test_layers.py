"""Three rooms, one rule: registry knows nobody, serving knows registry, job knows both, nobody knows job."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_KNOW = {"registry": set(), "serving": {"registry"}, "job": {"registry", "serving"}}
ORDER = {
    "registry": "errors plugins address variables unique_keys settings progress stores terminal transfer versions "
    "webhook trust gates upkeep oci export site command_line completion commands arguments program",
    "serving": "errors events meanings onnx_runtime runtime text request media bundle generation engines tasks "
    "predictor golden pyfunc profile explain trial settings queue watch live protocols page doors http startup drift "
    "program command_line",
    "job": "errors hub signals inside licence progress ranks relay settings cluster checkpoints data batches model "
    "train export measure kinds learners tasks steps budget forecast report recipe commands arguments launcher program "
    "command_line",
}
"""The wings of each room, and the modules beside them: each knows itself and what stands before it."""
ANSWERING = set("errors events onnx_runtime runtime text request media bundle generation engines tasks".split())
ANSWERING |= {"predictor", "golden", "pyfunc", "explain", "profile", "trial"}
"""What the job may know of serving: all that makes an answer, nothing of the web around it."""
READING = set("errors plugins address variables settings stores command_line".split())
PULLING = (["versions", "pull"], ["versions", "record"], ["versions", "watch"], ["versions", "canary"])
PULLING += (["upkeep", "update"], ["trust", "trust"])
"""What serving may know of the registry: how it is reached, how a version is pulled, what its record holds, whether a
reference has moved, what is tried beside it, what a pull has noted in a folder, and whom to believe."""
TESTED_BY = {
    "registry/errors.py": "registry/test_program.py",
    "registry/arguments.py": "registry/test_program.py",
    "registry/unique_keys.py": "job/settings/test_file.py",
    "registry/commands/aliases.py": "registry/test_program.py",
    "registry/commands/canary.py": "registry/test_program.py",
    "registry/commands/command.py": "registry/test_program.py",
    "registry/commands/comparing.py": "registry/upkeep/test_difference.py",
    "registry/commands/exporting.py": "registry/export/test_hub.py",
    "registry/site/catalogue.py": "registry/site/test_site.py",
    "registry/site/html.py": "registry/site/test_site.py",
    "registry/site/pages.py": "registry/site/test_site.py",
    "registry/site/plot.py": "registry/site/test_site.py",
    "registry/commands/gates.py": "registry/gates/test_promote.py",
    "registry/commands/listing.py": "registry/upkeep/test_listing.py",
    "registry/commands/moving.py": "registry/upkeep/test_folder.py",
    "registry/commands/upkeep/notes.py": "registry/upkeep/test_notes.py",
    "registry/commands/upkeep/yanks.py": "registry/upkeep/test_yanks.py",
    "registry/commands/upkeep/signing.py": "registry/trust/test_trust.py",
    "registry/trust/yanks.py": "registry/trust/test_trust.py",
    "registry/commands/output.py": "registry/test_program.py",
    "registry/commands/oci.py": "registry/oci/test_push.py",
    "registry/oci/address.py": "registry/oci/test_push.py",
    "registry/oci/blobs.py": "registry/oci/test_push.py",
    "registry/oci/fetch.py": "registry/oci/test_push.py",
    "registry/oci/media_types.py": "registry/oci/test_image.py",
    "registry/oci/remote.py": "registry/oci/test_push.py",
    "registry/commands/pulling.py": "registry/test_program.py",
    "registry/commands/upkeep/room.py": "registry/upkeep/test_sweep.py",
    "registry/upkeep/difference_page.py": "registry/upkeep/test_difference.py",
    "registry/upkeep/mark.py": "registry/upkeep/test_sweep.py",
    "registry/commands/showing.py": "registry/test_program.py",
    "registry/commands/upkeep/damage.py": "registry/test_program.py",
    "job/checkpoints/digest.py": "job/steps/run/test_run_id.py",
    "job/checkpoints/sender.py": "job/checkpoints/test_mirror.py",
    "job/arguments.py": "registry/test_completion.py",
    "job/settings/data.py": "job/settings/test_job.py",
    "job/settings/fields.py": "job/settings/test_job.py",
    "job/settings/train.py": "job/settings/test_job.py",
    "job/settings/load.py": "job/settings/test_job.py",
    "job/command_line.py": "registry/test_command_line.py",
    "serving/startup.py": "serving/test_program.py",
    "serving/drift.py": "serving/watch/test_feedback.py",
    "serving/command_line.py": "registry/test_command_line.py",
    "registry/stores/ranges.py": "registry/upkeep/test_verify.py",
    "registry/stores/key.py": "registry/stores/test_store.py",
    "registry/stores/disk_space.py": "registry/transfer/test_download.py",
    "registry/stores/s3_client.py": "registry/stores/test_s3.py",
    "registry/stores/s3_errors.py": "registry/stores/test_s3.py",
    "registry/stores/s3_upload.py": "registry/stores/test_s3.py",
    "registry/transfer/in_use.py": "registry/upkeep/test_cache.py",
    "registry/transfer/journal.py": "registry/transfer/test_download.py",
    "registry/transfer/part.py": "registry/transfer/test_download.py",
    "registry/transfer/parallel.py": "registry/transfer/test_download.py",
    "registry/gates/bounds.py": "registry/gates/test_judge.py",
    "registry/gates/comparison.py": "registry/gates/test_paired.py",
    "registry/gates/evidence.py": "registry/gates/test_judge.py",
    "registry/versions/numbered.py": "hostile/test_registry.py",
    "serving/errors.py": "serving/http/test_app.py",
    "serving/onnx_runtime.py": "test_quiet.py",
    "serving/runtime/runs.py": "serving/test_predictor.py",
    "serving/text/spacing.py": "serving/generation/test_detokenizer.py",
    "serving/request/request.py": "serving/http/test_app.py",
    "serving/request/json_text.py": "serving/protocols/test_huggingface.py",
    "serving/request/parameters.py": "serving/protocols/test_huggingface.py",
    "serving/request/several.py": "serving/request/test_files.py",
    "serving/request/schema.py": "serving/http/test_openapi.py",
    "serving/generation/beam.py": "serving/generation/test_loop.py",
    "serving/generation/caches.py": "serving/generation/test_graph.py",
    "serving/generation/writing.py": "serving/generation/test_loop.py",
    "serving/generation/sequences.py": "serving/generation/test_loop.py",
    "serving/engines/generation.py": "serving/tasks/test_text_generation.py",
    "serving/engines/engine.py": "serving/test_predictor.py",
    "serving/engines/media.py": "hostile/test_media.py",
    "serving/engines/task.py": "serving/test_predictor.py",
    "serving/engines/text.py": "serving/test_predictor.py",
    "serving/engines/text_to_text.py": "job/tasks/test_translation.py",
    "serving/engines/windows.py": "serving/tasks/test_token_classification.py",
    "serving/media/audio_features.py": "serving/media/test_audio.py",
    "serving/media/audio_file.py": "serving/media/test_audio.py",
    "serving/media/audio_processor.py": "serving/media/test_audio.py",
    "serving/media/image_file.py": "serving/media/test_images.py",
    "serving/media/image_pixels.py": "serving/media/test_images.py",
    "serving/media/image_processor.py": "serving/media/test_images.py",
    "serving/tasks/audio_classification.py": "job/tasks/test_audio_classification.py",
    "serving/tasks/audio_regression.py": "job/tasks/test_audio_regression.py",
    "serving/tasks/image_regression.py": "job/tasks/test_image_regression.py",
    "serving/tasks/image_classification.py": "job/tasks/test_image_classification.py",
    "serving/tasks/image_text_classification.py": "job/tasks/test_image_text_classification.py",
    "serving/tasks/summarization.py": "job/tasks/test_summarization.py",
    "serving/tasks/translation.py": "job/tasks/test_translation.py",
    "serving/trial/bounds.py": "serving/trial/test_trials.py",
    "serving/trial/bundle.py": "serving/trial/test_trials.py",
    "serving/trial/child.py": "serving/trial/test_trials.py",
    "serving/trial/graph.py": "job/commands/imports/test_graph.py",
    "serving/trial/parent.py": "serving/trial/test_trials.py",
    "serving/trial/template.py": "serving/trial/test_trials.py",
    "serving/trial/tokenizer.py": "serving/trial/test_trials.py",
    "serving/trial/verdicts.py": "serving/trial/test_trials.py",
    "serving/profile/observation.py": "serving/profile/test_profile.py",
    "serving/profile/distance.py": "serving/profile/test_profile.py",
    "serving/profile/rows.py": "serving/profile/test_profile.py",
    "serving/watch/redaction.py": "serving/watch/test_feedback.py",
    "serving/queue/bodies.py": "serving/http/test_app.py",
    "serving/queue/returns.py": "serving/http/test_app.py",
    "serving/queue/work.py": "serving/queue/test_order.py",
    "serving/live/service.py": "serving/http/test_app.py",
    "serving/live/loading.py": "serving/live/test_follow.py",
    "serving/live/model.py": "serving/live/test_models.py",
    "serving/live/trials.py": "serving/live/test_follow.py",
    "serving/live/slot.py": "serving/live/test_follow.py",
    "serving/live/job.py": "serving/http/test_app.py",
    "serving/explain/kinds.py": "serving/explain/test_explaining.py",
    "serving/explain/labels.py": "serving/explain/test_explaining.py",
    "serving/explain/subject.py": "serving/explain/test_explaining.py",
    "serving/explain/texts.py": "serving/explain/test_explaining.py",
    "serving/explain/tokens.py": "serving/tasks/test_explained.py",
    "serving/page/facts.py": "serving/page/test_page.py",
    "job/report/parts/quality.py": "job/report/test_parts.py",
    "job/report/parts/learning.py": "job/report/test_parts.py",
    "job/report/parts/labels.py": "job/report/test_parts.py",
    "job/report/parts/certainty.py": "job/report/test_parts.py",
    "job/report/parts/reliability.py": "job/report/test_parts.py",
    "job/report/parts/numbers.py": "job/report/test_parts.py",
    "job/report/parts/tags.py": "job/report/test_parts.py",
    "job/report/parts/written.py": "job/report/test_parts.py",
    "job/report/sbom.py": "job/report/test_provenance.py",
    "job/report/media.py": "job/report/test_parts.py",
    "job/report/parts/rows.py": "job/report/test_parts.py",
    "job/report/parts/robustness.py": "job/report/test_parts.py",
    "job/report/parts/why.py": "job/report/test_parts.py",
    "job/report/parts/facts.py": "job/report/test_page.py",
    "job/report/subject.py": "job/report/test_page.py",
    "job/measure/faithfulness.py": "job/report/test_card.py",
    "serving/protocols/protocol.py": "serving/protocols/test_huggingface.py",
    "serving/protocols/plain.py": "serving/protocols/test_huggingface_hub.py",
    "serving/protocols/similarity.py": "serving/protocols/test_huggingface_hub.py",
    "serving/protocols/written.py": "serving/protocols/test_huggingface_hub.py",
    "serving/protocols/chats/answers.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/asked.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/completions.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/described.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/messages.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/options.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/response.py": "serving/protocols/test_openai.py",
    "serving/protocols/chats/responses.py": "serving/protocols/test_openai.py",
    "serving/protocols/oip_tensors.py": "serving/protocols/test_oip.py",
    "serving/doors/exempt.py": "serving/doors/test_keys.py",
    "serving/http/body.py": "serving/http/test_app.py",
    "serving/http/middleware.py": "serving/http/test_app.py",
    "serving/http/pages.py": "serving/http/test_app.py",
    "serving/http/ask.py": "serving/http/test_app.py",
    "serving/http/replies.py": "serving/http/test_app.py",
    "job/errors.py": "job/test_program.py",
    "job/progress/tracker.py": "job/progress/test_tracking.py",
    "job/progress/tensorboard.py": "job/steps/run/test_track.py",
    "job/progress/mlflow.py": "job/steps/run/test_track.py",
    "job/progress/wandb.py": "job/steps/run/test_track.py",
    "job/settings/track.py": "job/steps/run/test_track.py",
    "job/progress/console.py": "job/progress/test_events.py",
    "job/progress/json_lines.py": "job/progress/test_events.py",
    "job/hub.py": "job/model/test_base_model.py",
    "job/inside.py": "job/model/test_base_model.py",
    "job/data/cells.py": "job/data/test_check.py",
    "job/data/columns.py": "job/data/test_check.py",
    "job/data/readers/media_folder.py": "job/data/sources/test_media.py",
    "job/data/sources/bucket.py": "job/data/sources/test_fetch.py",
    "job/data/sources/cache.py": "job/data/sources/test_fetch.py",
    "job/data/sources/disk.py": "job/data/sources/test_fetch.py",
    "job/data/sources/folders.py": "job/data/sources/test_media.py",
    "job/data/sources/names.py": "job/data/sources/test_fetch.py",
    "job/data/readers/documents/rows.py": "job/data/readers/test_formats.py",
    "job/data/readers/columnar/parquet.py": "job/data/readers/test_formats.py",
    "job/data/readers/columnar/messages.py": "job/data/readers/columnar/test_arrow.py",
    "job/data/readers/columnar/values.py": "job/data/readers/columnar/test_arrow.py",
    "job/data/readers/reader.py": "job/data/readers/test_formats.py",
    "job/batches/causal.py": "job/train/test_next_token.py",
    "job/batches/conversations.py": "job/tasks/test_text_generation.py",
    "job/batches/side.py": "job/batches/test_by_length.py",
    "job/model/classifiers.py": "job/model/test_build.py",
    "job/export/arranged.py": "job/commands/imports/test_graph.py",
    "job/export/given.py": "job/commands/imports/test_graph.py",
    "job/model/find.py": "job/model/test_base_model.py",
    "job/model/load.py": "job/model/test_build.py",
    "job/model/four_bits.py": "job/model/test_layers.py",
    "job/model/generation_defaults.py": "job/tasks/test_text_generation.py",
    "job/settings/remedies.py": "job/steps/remedies/test_imbalance.py",
    "job/batches/augment/synonyms.py": "job/steps/test_augment.py",
    "job/train/objective.py": "job/train/test_loop.py",
    "job/train/step/answers.py": "job/train/test_loop.py",
    "job/train/step/gradient.py": "job/train/test_loop.py",
    "job/train/step/parts.py": "job/train/test_loop.py",
    "job/train/step/prepared.py": "job/train/test_loop.py",
    "job/kinds/task.py": "job/tasks/test_task.py",
    "job/kinds/files.py": "job/tasks/test_image_classification.py",
    "job/kinds/labels.py": "job/tasks/test_text_classification.py",
    "job/kinds/number.py": "job/tasks/test_text_regression.py",
    "job/kinds/options.py": "job/steps/test_prepare.py",
    "job/kinds/plan.py": "job/steps/test_prepare.py",
    "job/kinds/passages.py": "job/tasks/test_question_answering.py",
    "job/kinds/texts.py": "job/tasks/test_text_classification.py",
    "job/learners/causal.py": "job/tasks/test_text_generation.py",
    "job/learners/files.py": "job/tasks/test_image_classification.py",
    "job/learners/heads.py": "job/tasks/test_token_classification.py",
    "job/learners/masked.py": "job/tasks/test_masked_language_modelling.py",
    "job/learners/pair.py": "job/tasks/test_image_text_classification.py",
    "job/learners/recordings.py": "job/tasks/test_audio_classification.py",
    "job/learners/spans.py": "job/tasks/test_question_answering.py",
    "job/learners/tags.py": "job/tasks/test_token_classification.py",
    "job/learners/text_to_text.py": "job/tasks/test_translation.py",
    "job/learners/texts.py": "job/tasks/test_text_classification.py",
    "job/learners/vectors.py": "job/tasks/test_feature_extraction.py",
    "job/measure/cosines.py": "job/tasks/test_feature_extraction.py",
    "job/measure/labels.py": "job/tasks/test_text_classification.py",
    "job/measure/masked.py": "job/tasks/test_masked_language_modelling.py",
    "job/measure/numbers.py": "job/tasks/test_text_regression.py",
    "job/measure/tags.py": "job/tasks/test_token_classification.py",
    "job/learners/written_text.py": "job/tasks/test_translation.py",
    "job/train/losses.py": "job/tasks/test_text_classification.py",
    "job/measure/metric.py": "job/test_plugins.py",
    "job/train/loss.py": "job/test_plugins.py",
    "job/steps/encode.py": "job/steps/test_prepare.py",
    "job/steps/teachers/translators.py": "job/tasks/test_back_translation.py",
    "job/steps/release.py": "job/test_recipe.py",
    "job/steps/teach.py": "job/tasks/test_gradient.py",
    "job/commands/guess/columns.py": "job/commands/guess/test_task.py",
    "job/data/doctor/finding.py": "job/steps/test_diagnose.py",
    "job/data/doctor/side.py": "job/data/doctor/test_duplicates.py",
    "job/commands/guess/facts.py": "job/commands/guess/test_sample.py",
    "job/commands/guess/filling.py": "job/commands/guess/test_task.py",
    "job/commands/guess/names.py": "job/commands/guess/test_task.py",
    "job/commands/job_file.py": "job/commands/test_init.py",
    "job/commands/label/command.py": "job/commands/label/test_choose.py",
    "job/commands/label/read_back.py": "job/commands/label/test_tools.py",
    "job/commands/label/write.py": "job/commands/label/test_tools.py",
    "job/cluster/kubectl.py": "job/cluster/test_create.py",
    "job/cluster/place.py": "job/cluster/test_create.py",
    "job/cluster/rendered.py": "job/cluster/test_create.py",
    "job/cluster/state.py": "job/cluster/test_follow.py",
    "job/commands/candidates.py": "job/commands/test_suggest.py",
}
"""What has no test file of its own name, and the file that tests it."""
MOST_FILES = 12
"""Files of a wing, without what says what it is for. Tasks are a list: each is one file."""
HEAVY = set("torch transformers datasets accelerate optimum peft sklearn scipy pandas pyarrow onnx".split())


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """All modules that a file imports, in functions too, with the names taken from each; '.' for a relative one."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {"."} if node.level else {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {str(word.value) for word in node.args if isinstance(word, ast.Constant)}
    return found


def outside(path: Path) -> set[str]:
    """The first words of what a file imports."""
    return {name.partition(".")[0] for name in imports(path)}


def inside(path: Path) -> set[tuple[str, str]]:
    """The room and the wing (or module) of each import from this house."""
    return {tuple(name.split(".")[1:3]) for name in imports(path) if name.startswith("tunewright.")}


@cache
def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_KNOW)
def test_imports_go_one_way(room):
    assert files(room)
    for path in files(room):
        forbidden = {known for known, *_ in inside(path)} - MAY_KNOW[room] - {room}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"
        # Without the first word a user's own `job` or `serving` would be meant.
        assert not outside(path) & {".", *MAY_KNOW}, f"{path.relative_to(ROOT)} does not name the package"


def wing(path: Path, room: str) -> str:
    return path.relative_to(ROOT / room).with_suffix("").parts[0]


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_wing_knows_those_before_it(room):
    order = ORDER[room].split()
    for path in files(room):
        if (here := wing(path, room)) != "__init__":
            allowed = order[: order.index(here) + 1]
            after = {name for known, *rest in inside(path) if known == room for name in rest} - set(allowed)
            assert not after, f"{path.relative_to(ROOT)} imports {after}"


def test_a_room_is_known_by_what_is_meant_for_others():
    for path in files("job"):
        more = {name for room, *rest in inside(path) if room == "serving" for name in rest} - ANSWERING
        assert not more, f"{path.relative_to(ROOT)} imports {more}"
    for path in files("serving"):
        known = [name.split(".")[2:] for name in imports(path) if name.startswith("tunewright.registry.")]
        more = [name for name in known if name[0] not in READING and name[:2] not in PULLING]
        assert not more, f"{path.relative_to(ROOT)} imports {more}"


def test_a_wing_is_small_enough_to_be_known_by_heart():
    for room in MAY_KNOW:
        for folder in {path.parent for path in files(room)} - {ROOT / room, ROOT / room / "tasks"}:
            names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(names) <= MOST_FILES, f"{folder.relative_to(ROOT)} has {len(names)} files: cut it"


def test_every_module_has_its_test():
    own = {}
    for room in MAY_KNOW:
        for path in (path for path in files(room) if path.name != "__init__.py"):
            name = str(path.relative_to(ROOT))
            own[name] = path.relative_to(ROOT).with_name(f"test_{path.stem}.py")
    missing = {name for name, test in own.items() if not (ROOT / "tests" / test).exists()}
    assert missing == set(TESTED_BY), "each module has a test file of its name, or a line in TESTED_BY"
    assert [test for test in TESTED_BY.values() if not (ROOT / "tests" / test).exists()] == []


@pytest.mark.parametrize("room", ["registry", "serving"])
def test_a_light_room_never_imports_a_training_library(room):
    for path in files(room):
        assert not outside(path) & HEAVY, f"{path.relative_to(ROOT)} imports {outside(path) & HEAVY}"


def test_serving_imports_what_its_extras_bring_and_an_answer_needs_no_web():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core, extras = project["dependencies"], project["optional-dependencies"]
    packages = packages_distributions()
    for path in files("serving"):
        wing = path.relative_to(ROOT / "serving").parts[0].removesuffix(".py")
        wanted = [*core, *extras["answer"], *([] if wing in ANSWERING else extras["serving"])]
        brought = {re.split(r"[\[<>=~ ]", requirement)[0] for requirement in wanted}
        others = outside(path) - sys.stdlib_module_names - {"tunewright", "pydantic_core"}
        # The extra `tracing`, which need not be there.
        others -= {"opentelemetry"} if wing == "doors" else set()
        missing = {name for name in others if not brought & {one.lower().replace("_", "-") for one in packages[name]}}
        assert not missing, f"{path.relative_to(ROOT)} imports {missing}"


@pytest.mark.parametrize("module", ["tunewright.registry.program", "tunewright.serving.program"])
def test_a_light_program_starts_without_a_training_library(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


def test_onnxruntime_is_imported_where_its_telemetry_is_off():
    for path in (path for room in MAY_KNOW for path in files(room) if path.name != "onnx_runtime.py"):
        body = tree(path).body
        names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in body if isinstance(node, ast.ImportFrom)}
        assert not [name for name in names if name.partition(".")[0] == "onnxruntime"], path.relative_to(ROOT)


def test_an_init_file_holds_a_docstring_and_no_code():
    for path in (path for room in MAY_KNOW for path in files(room) if path.name == "__init__.py"):
        rest = tree(path).body[1:]
        if path.parent.name == "tasks":
            # The one exception: the literal dict of tasks and the imports it is made of.
            rest = [node for node in rest if not isinstance(node, ast.ImportFrom | ast.AnnAssign)]
        assert not rest, f"{path.relative_to(ROOT)} holds code"


def test_every_task_has_its_twin():
    taught, answered = (
        {path.name for path in files(room) if path.parent.name == "tasks"} for room in ("job", "serving")
    )
    assert taught == answered


def test_no_file_is_a_drawer():
    drawers = {"utils", "helpers", "common", "misc", "base"}
    for room in MAY_KNOW:
        for path in files(room):
            assert path.stem not in drawers, f"{path.relative_to(ROOT)}: name the idea"
