import json
import subprocess
import sys


def test_log_lines_never_reach_standard_output() -> None:
    program = (
        "from nightdesk.hub.logs import configure_logs; import structlog; configure_logs('info');"
        "structlog.get_logger().info('told', tenant='acme'); structlog.get_logger().debug('not told')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    line = json.loads(done.stderr)
    assert (line["event"], line["tenant"], line["level"]) == ("told", "acme", "info")
