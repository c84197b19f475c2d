"""What runs on the device: the only folder that imports torch."""

import os

# torch's OpenMP threads spin while they wait for each other, and hold up whoever decodes and encodes on the same cores: one
# ×4 tile of 64 pixels took 5.8 s so, 1.0 s without, on two cores with a load of 13. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
