import io

from rich.console import Console

from tapestream.demo.ledger import Totals
from tapestream.demo.view import RATE_OVER_S, Rate, Screen


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.per_s == 0.0
    for second in range(20):
        rate.add(float(second), count=10 * second if second < 10 else 100 + 50 * (second - 10))
    assert rate.per_s == 50.0
    assert rate.seen[-1][0] - rate.seen[0][0] <= RATE_OVER_S + 1.0


def test_a_counter_that_begins_anew_has_no_negative_rate():
    rate = Rate()
    rate.add(0.0, 100)
    rate.add(1.0, 0)
    assert rate.per_s == 0.0


def a_screen() -> Screen:
    clock = Clock()
    screen = Screen(["broker    here"], clock)
    clock.now_s += 2.0
    screen.update(Totals(ticks_in=1_000, processed=999, late=1))
    clock.now_s += 1.0
    screen.update(Totals(ticks_in=3_000, processed=2_999, late=1, bars=4, signals=2, unread=7))
    return screen


def test_a_line_says_how_far_and_how_fast():
    assert a_screen().line() == (
        "    3 s      2,000 ticks/s  in 3,000  late 1  duplicate 0  dead 0  bars 4  signals 2  unread 7"
    )


def rendered(screen: Screen) -> str:
    paper = io.StringIO()
    Console(width=100, file=paper).print(screen)
    return paper.getvalue()


def test_the_picture_says_that_all_is_accounted_for():
    picture = rendered(a_screen())
    assert "broker    here" in picture
    assert "all ticks, exactly" in picture


def test_the_picture_says_when_it_is_not():
    screen = a_screen()
    screen.update(Totals(ticks_in=10, processed=9))
    assert "DOES NOT BALANCE" in rendered(screen)
