"""The rules that make one model of many clients' models. A new rule is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trainers.aggregation.fedavg import FedAvg
from trainers.aggregation.fedbuff import FedBuff
from trainers.aggregation.fedlaw import FedLaw
from trainers.aggregation.fine_tuning import FineTuning
from trainers.aggregation.rule import Cohort, Combined, Rule, Served, Update
from trainers.aggregation.scaffold import Scaffold
from trainers.errors import RuleUnknown

__all__ = ["RULES", "Cohort", "Combined", "Rule", "Served", "Update", "make_rule"]

RULES: Mapping[str, type[Rule]] = {
    "fedavg": FedAvg,
    "fedbuff": FedBuff,
    "fedlaw": FedLaw,
    "fine_tuning": FineTuning,
    "scaffold": Scaffold,
}


def make_rule(settings: Mapping[str, Any]) -> Rule:
    """settings: {"name": …, further keys: options of the rule}.

    Raises:
        RuleUnknown. msgspec.ValidationError: an option that the rule does not have, or of a wrong type.
    """
    name, options = settings["name"], {key: value for key, value in settings.items() if key != "name"}
    if name not in RULES:
        raise RuleUnknown(name, tuple(RULES))
    return msgspec.convert(options, RULES[name])
