"""Names of one's own for models: what a program asks for, and what it gets."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass

from p2p_modelex.errors import BadInput
from p2p_modelex.node.options import TEXT, option

ALIASES_MAX = 64


@dataclass(frozen=True, slots=True)
class AliasSettings:
    """Another name for a model. One `[[aliases]]` table for each."""

    name: str = option(
        TEXT, MISSING, "What requests, also those of the gateway, call it.", example='"gpt-4o-mini"'
    )
    model: str = option(
        TEXT,
        MISSING,
        "The model's name on the mesh, or `family:NAME` for any model of a family: of the names "
        "that are NAME before their size and quantisation.",
        example='"family:smollm2"',
    )


def resolve_alias(model: str, aliases: Sequence[AliasSettings]) -> str:
    """Return what a name stands for: itself, if it is no alias. One step, so there are no loops."""
    return next((alias.model for alias in aliases if alias.name == model), model)


def validate_aliases(aliases: Sequence[AliasSettings]) -> None:
    """Raise BadInput unless each has a name of its own and stands for something else."""
    names = [alias.name for alias in aliases]
    for alias in aliases:
        if not alias.name or names.count(alias.name) > 1 or not alias.model or alias.model in names:
            raise BadInput(
                f"alias {alias.name!r} appears twice, is empty, or stands for an alias",
                hint="name each once, and the model itself",
            )
