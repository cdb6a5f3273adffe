"""`up`: start the whole stack and keep it running."""

import os
import signal
import threading
from pathlib import Path

import click

from local.output import Output, data_dir_option, json_option, stack_options
from local.session import own_stack
from local.stack_info import StackInfo

_PORT = click.IntRange(0, 65_535)


@click.command(
    epilog="""\b
Example:
  python -m local up
  python -m local up --aws-port 4566 --data-dir /tmp/traces""",
)
@click.option(
    "--aws-port", type=_PORT, default=0, help="Step Functions, SSM, Secrets Manager ... (default: a free one)."
)
@click.option("--clickhouse-port", type=_PORT, default=0, help="ClickHouse's HTTP interface (default: a free one).")
@click.option("--kafka-port", type=_PORT, default=0, help="Kafka (default: a free one).")
@click.option("--model-port", type=_PORT, default=0, help="Offline model server (default: a free one).")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=8, show_default=True, help="Processes per Lambda function at most."
)
@data_dir_option
@json_option
def up(
    aws_port: int,
    clickhouse_port: int,
    kafka_port: int,
    model_port: int,
    workers: int,
    data_dir: Path,
    output: Output,
) -> None:
    """Start the stack in the foreground; Ctrl-C stops it.

    With OPENAI_API_KEY or OPENAI_BASE_URL set, summaries come from that endpoint and cost what it charges; otherwise
    from the offline extractive model. Data stays in the data directory between starts.
    """
    options = stack_options(
        data_dir,
        dict(os.environ),
        aws_port=aws_port,
        clickhouse_port=clickhouse_port,
        kafka_port=kafka_port,
        model_port=model_port,
        workers=workers,
    )
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # while it starts, both end it at once
    with own_stack(options, output.say) as info:
        if output.as_json:
            output.result(info.model_dump(mode="json"))
        else:
            _tell(info)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        stopping.wait()
        output.say("Stopping")


def _tell(info: StackInfo) -> None:
    click.echo(f"""
Ready.
  AWS          {info.aws_endpoint_url}
  ClickHouse   http://{info.clickhouse_host}:{info.clickhouse_port}
  Kafka        {info.kafka_bootstrap_servers}, topic {info.kafka_topic}
  Model        {info.model_base_url}: {info.model_told()}
  Logs         {info.log_dir}

For the AWS CLI, in another terminal:
""")
    for line in info.exports():
        click.echo(line)
    click.echo("\nCtrl-C stops everything.")
