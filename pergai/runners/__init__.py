"""What runs on the device: the only folder that imports torch."""

import os

# torch's OpenMP threads spin while they wait for each other. On a machine whose cores are also decoding and encoding, that
# made a net ten times slower (`benchmarks/upscale.py`). Read when torch is first imported, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
