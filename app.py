"""The CDK app. `npx cdk synth` runs it; so does `infra.synthesis`, without the CDK's command line."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lambdas"))
# jsii prints a banner on every start when Node is past its end of life, as 20 is; the value is Node's major version.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

import aws_cdk

from infra.settings import ContextError, StackSettings
from infra.stack import TraceSummarizationStack


def main() -> None:
    """Synthesize the stack that the context describes. Exits with the context's problems, one per line."""
    app = aws_cdk.App()
    try:
        settings = StackSettings.from_context(app.node.get_all_context())
    except ContextError as error:
        raise SystemExit(str(error)) from None
    TraceSummarizationStack(app, settings)
    app.synth()


if __name__ == "__main__":
    main()
