"""Flags of tools that work on many machines."""

from absl import flags

LOCAL = "local"


def define_flags() -> None:
    """Defines --runner and --runner_options."""
    flags.DEFINE_string(
        "runner",
        LOCAL,
        "local: this machine, without Apache Beam. Else one of Beam's runners: "
        "DirectRunner, FlinkRunner, SparkRunner, DataflowRunner, ... "
        "(experiments/at_scale has the commands).",
    )
    flags.DEFINE_string(
        "runner_options",
        "",
        "Options for Beam, as on a command line: "
        "'--flink_master=host:8081 --parallelism=64'.",
    )
