"""What runs on the device: the only folder that imports torch."""

import os

# torch's OpenMP threads spin while they wait for each other, and hold up whoever decodes and encodes on the same cores: one
# ×4 tile of 64 pixels took 5.8 s so, 1.0 s without, on two cores with a load of 13. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Nothing leaves the box. From 1.29 on, onnxruntime's wheels for Linux write a device id into ~/.cache and send events to their
# maker, unless this is set before the library is loaded; the hub's libraries count downloads and uses.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
