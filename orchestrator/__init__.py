"""Who gets which GPU. So far: the NVML inventory that `tapestream doctor` shows."""
