from orchestrator.discovery import Device, Inventory, inventory
from tests.orchestrator.fake_nvml import H100, FakeNvml


def test_the_inventory_lists_what_the_driver_lists():
    nvml = FakeNvml([H100])
    assert inventory(nvml) == Inventory(
        (Device("GPU-1", 0, "NVIDIA H100", 80 << 30, 79 << 30, False),), driver="580.65"
    )
    assert nvml.open == 0


def test_an_absent_driver_is_an_answer_with_its_reason():
    assert inventory(FakeNvml(absence="Driver Not Loaded")) == Inventory((), None, "Driver Not Loaded")


def test_any_value_of_a_device_may_be_missing():
    assert inventory(FakeNvml([{}])).devices == (Device(None, 0, None, None, None, None),)


def test_a_lost_device_is_left_out_and_the_others_keep_their_index():
    assert [d.nvml_index for d in inventory(FakeNvml([{"lost": True}, H100])).devices] == [1]


def test_a_driver_without_devices_says_so():
    assert inventory(FakeNvml([])) == Inventory((), "580.65", "the driver lists no device")


def test_this_machine_answers_one_way_or_the_other():
    found = inventory()
    assert bool(found.devices) != bool(found.absence)
