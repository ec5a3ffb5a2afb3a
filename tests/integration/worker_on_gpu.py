"""``tapestream`` in which a worker takes itself to be on the device that the first argument names."""

import sys

import agents.backpressure
from tapestream import cli

if __name__ == "__main__":
    uuid = sys.argv[1]
    agents.backpressure.device_uuid = lambda device, host: uuid
    sys.exit(cli.main(sys.argv[2:]))
