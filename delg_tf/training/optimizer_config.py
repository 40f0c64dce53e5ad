"""Everything that defines how weights move."""

import dataclasses

from delg_tf.common.errors import InputError
from delg_tf.training.parts import GROUPS

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("linear", "cosine")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning rates, and what is trained at all.

    Attributes:
        kind: `sgd` (with momentum; the paper) or `adamw`.
        initial_lr: learning rate that the decay starts from.
        schedule: `linear` (the paper) or `cosine` decay to zero.
        warmup_steps: steps of linear warm-up.
        momentum: of SGD.
        weight_decay: decoupled: each step takes off this share of the
            learning rate from each kernel. Biases, batch normalisations and
            scales are left alone.
        clip_norm: largest global norm of the summed gradient; 0: no limit.
        accumulation_steps: parts that each replica's share of a step is
            computed in, one after the other, to save memory.
        ema_decay: of the moving average of the weights, which is what is
            validated and saved at the end; 0: no average.
        lr_multipliers: pairs (part or group of `training.parts`, factor on
            its learning rate); a later pair wins.
        freeze_backbone: train the heads only.
        freeze_blocks: the stem and so many first blocks stay as they are.
    """

    kind: str = "sgd"
    initial_lr: float = 0.01
    schedule: str = "linear"
    warmup_steps: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 10.0
    accumulation_steps: int = 1
    ema_decay: float = 0.0
    lr_multipliers: tuple[tuple[str, float], ...] = ()
    freeze_backbone: bool = False
    freeze_blocks: int = 0

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            InputError: a field is out of range.
        """
        for name, allowed in (("kind", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in allowed:
                _refuse(self, name, f"one of {allowed}")
        for name in (
            "initial_lr",
            "warmup_steps",
            "weight_decay",
            "clip_norm",
        ):
            if getattr(self, name) < 0:
                _refuse(self, name, "at least 0")
        for name in ("momentum", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                _refuse(self, name, "in [0, 1)")
        if self.accumulation_steps < 1:
            _refuse(self, "accumulation_steps", "at least 1")
        if not 0 <= self.freeze_blocks <= 4:
            _refuse(self, "freeze_blocks", "from 0 to 4")
        for part, factor in self.lr_multipliers:
            if part not in GROUPS:
                raise InputError(
                    f"`lr_multipliers` must name one of {sorted(GROUPS)}. "
                    f"Received: {part!r}"
                )
            if factor < 0:
                raise InputError(
                    "`lr_multipliers` must not be negative. Received: "
                    f"{factor} for {part}"
                )

    @property
    def multipliers(self) -> dict[str, float]:
        """The factor of each part that has one."""
        return {
            part: factor
            for group, factor in self.lr_multipliers
            for part in GROUPS[group]
        }


def _refuse(config: OptimizerConfig, name: str, condition: str) -> None:
    raise InputError(
        f"`{name}` must be {condition}. Received: {getattr(config, name)!r}"
    )
