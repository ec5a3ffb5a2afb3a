from tapestream.up.restarts import ATTEMPTS, LONGEST_DELAY_S, STABLE_S, Crashes


def test_each_quick_crash_doubles_the_wait_up_to_a_limit():
    crashes, delays = Crashes(), []
    for _ in range(8):
        crashes = crashes.after(uptime_s=1.0)
        delays.append(crashes.delay_s)
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_DELAY_S, LONGEST_DELAY_S]


def test_too_many_quick_crashes_are_hopeless():
    crashes = Crashes()
    for _ in range(ATTEMPTS):
        crashes = crashes.after(1.0)
    assert not crashes.hopeless
    assert crashes.after(1.0).hopeless


def test_a_stable_run_wipes_out_the_crashes_before_it():
    assert Crashes(ATTEMPTS).after(STABLE_S) == Crashes(1)
