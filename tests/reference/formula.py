"""A reader of questions without weights: the logits of a token are a formula of its id and its position."""

from typing import Any

import torch
from transformers import BertConfig, BertForQuestionAnswering
from transformers.modeling_outputs import QuestionAnsweringModelOutput


class Formula(BertForQuestionAnswering):
    """Answers alike under every version of transformers."""

    def __init__(self) -> None:
        size = {"hidden_size": 2, "num_attention_heads": 1, "num_hidden_layers": 0, "intermediate_size": 2}
        super().__init__(BertConfig(vocab_size=4, **size))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> QuestionAnsweringModelOutput:
        """Ids `[B, T]` to logits of starts and ends, `[B, T]` each."""
        place = torch.arange(input_ids.shape[1], dtype=torch.float64)
        start = 4 * torch.sin(1.7 * input_ids.double() + 0.31 * place)
        end = 4 * torch.cos(0.9 * input_ids.double() + 0.23 * place)
        return QuestionAnsweringModelOutput(start_logits=start.float(), end_logits=end.float())
