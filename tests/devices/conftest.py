"""Networks for tests of code for other processors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_rnn import Model
from emulated import FORMATS, cell_of_many_functions, lstm_of_every_option


@pytest.fixture(scope="session")
def model_of(make_model: Callable[..., Model], in_format: Callable[[Model, str], Model]) -> Callable[[str], Model]:
    """Function that makes the network of a case of ``emulated.CASES``."""

    def model_of(case: str) -> Model:
        if case == "options":
            return lstm_of_every_option()
        if case == "functions":
            return cell_of_many_functions()
        if case in FORMATS:
            return in_format(make_model("lstm", 9, 24), case)
        return make_model(case, 5, 19, layers=2, head=11)

    return model_of
