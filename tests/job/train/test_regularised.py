"""Two passes that agree, rows that are mixed, weights that are drawn to 0."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.model.build import build_classifier
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.objective import Objective
from tunewright.job.train.regularised import apart_of, batch_loss, shrink

ONE = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.5, 2.0]])
OTHER = torch.tensor([[0.5, 0.3, -1.0], [0.0, 1.0, 1.0]])
TARGETS = torch.tensor([0, 2])


def divergence(p, q):
    return (p * (p / q).log()).sum(-1)


def test_answers_are_apart_by_the_mean_divergence_both_ways():
    p, q = ONE.softmax(-1), OTHER.softmax(-1)
    expected = ((divergence(p, q) + divergence(q, p)) / 2).mean()
    assert float(apart_of("single_label")(ONE, OTHER, TARGETS)) == pytest.approx(float(expected))


def test_several_labels_are_apart_label_by_label():
    p, q = (torch.stack([one.sigmoid(), 1 - one.sigmoid()], -1) for one in (ONE, OTHER))
    expected = ((divergence(p, q) + divergence(q, p)) / 2).mean()
    assert float(apart_of("multi_label")(ONE, OTHER, TARGETS)) == pytest.approx(float(expected))


def test_words_are_apart_and_padding_is_not():
    logits = torch.stack([ONE, OTHER]), torch.stack([OTHER, OTHER])
    words = torch.tensor([[1, -100], [2, -100]])
    expected = apart_of("tags")(torch.stack([ONE[0], OTHER[0]]), torch.stack([OTHER[0], OTHER[0]]), words[:, 0])
    assert float(apart_of("tags")(*logits, words)) == pytest.approx(float(expected))


def test_numbers_are_apart_in_their_unit():
    assert float(apart_of("regression", 2.0)(torch.tensor([[1.0]]), torch.tensor([[5.0]]), TARGETS)) == 4.0


@pytest.fixture
def model(fetch, tiny_base):
    return build_classifier(fetch(tiny_base), ["a", "b", "c"], TrainSettings(pooling="mean"))


def objective():
    return Objective(cross_entropy, dict, "accuracy", apart=apart_of("single_label"))


def test_two_passes_count_by_their_mean_loss_and_how_far_they_are_apart(model):
    passes = iter([ONE, OTHER])
    found = batch_loss(model, objective(), TrainSettings(r_drop=3.0))(lambda: next(passes), TARGETS)
    both = (cross_entropy(ONE, TARGETS) + cross_entropy(OTHER, TARGETS)) / 2
    assert float(found) == pytest.approx(float(both + 3 * apart_of("single_label")(ONE, OTHER, TARGETS)))


def test_two_passes_that_cannot_differ_are_refused(fetch, make_base):
    still = make_base("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = build_classifier(fetch(still), ["a", "b"], TrainSettings(pooling="mean"))
    with pytest.raises(SettingsError, match="this model has no dropout"):
        batch_loss(model, objective(), TrainSettings(r_drop=1.0))


def test_rows_are_mixed_before_the_last_layer_with_both_targets(model):
    head = model.classifier
    given = torch.randn(4, head.in_features)
    targets = torch.tensor([0, 1, 2, 1])
    torch.manual_seed(3)
    found = batch_loss(model, objective(), TrainSettings(mixup=0.4))(lambda: head(given), targets)
    torch.manual_seed(3)
    order, share = torch.randperm(4), float(torch.distributions.Beta(0.4, 0.4).sample())
    logits = head(share * given + (1 - share) * given[order])
    expected = share * cross_entropy(logits, targets) + (1 - share) * cross_entropy(logits, targets[order])
    assert float(found) == pytest.approx(float(expected))
    assert not head._forward_pre_hooks


def test_a_last_layer_that_reads_more_than_a_vector_a_row_is_refused(model):
    loss = batch_loss(model, objective(), TrainSettings(mixup=0.4))
    with pytest.raises(BaseModelError, match="this model's last layer reads no one vector a row"):
        loss(lambda: model.classifier(torch.ones(2, 3, model.classifier.in_features)), TARGETS)


def test_weights_are_drawn_to_0_and_stay_there_and_biases_are_not():
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.05, -0.3], [0.5, -0.01]]))
        layer.bias.fill_(0.01)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(torch.ones(1, 2)).sum().backward()
    shrink(optimizer, 0.2)
    assert layer.weight.tolist() == [pytest.approx([0.0, -0.2]), pytest.approx([0.4, 0.0])]
    assert layer.bias.tolist() == pytest.approx([0.01, 0.01])
