"""Many models into one: merge methods, what they read and write, and the weights of an ensemble."""

from trainers.merging.check import differences, unusable
from trainers.merging.errors import MergeError
from trainers.merging.method import MergeMethod, Recipe, merge_method
from trainers.merging.methods import METHODS, method_of
from trainers.merging.plan import Plan, describe_bytes
from trainers.merging.recipes import RECIPES, recipe_of
from trainers.merging.shards import describe, merge_to_folder
from trainers.merging.sources import InMemory, Source, of_model, open_source
from trainers.merging.stream import Kept, merge

__all__ = [
    "METHODS",
    "RECIPES",
    "InMemory",
    "Kept",
    "MergeError",
    "MergeMethod",
    "Plan",
    "Recipe",
    "Source",
    "describe",
    "describe_bytes",
    "differences",
    "merge",
    "merge_method",
    "merge_to_folder",
    "method_of",
    "of_model",
    "open_source",
    "recipe_of",
    "unusable",
]
