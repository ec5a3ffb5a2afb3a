from dataclasses import replace

from tapestream.demo.ledger import Summary, Totals, add_up


def a_row(partition=0, next_offset=10, **counts) -> dict:
    classes = ("in", "processed", "late", "duplicate", "dead", "held")
    others = ("gap", "crossed", "messages", "feature_rows", "bars", "signals")
    empty = dict.fromkeys(classes + others, 0)
    return {"partition": partition, "next_offset": next_offset, "end_offset": next_offset, **empty, **counts}


def a_report(*rows: dict) -> dict:
    return {"worker": "worker-1", "partitions": list(rows)}


GOOD = Summary(
    seconds=2.0,
    sent=100,
    totals=Totals(ticks_in=100, processed=90, late=4, duplicate=3, dead=2, held=1, bars=7, signals=5),
    signals_on_topic=5,
    lag_s=0.25,
)


def test_partitions_of_all_workers_are_added_up():
    reports = [
        a_report(a_row(0, **{"in": 5, "processed": 4, "late": 1}), a_row(1, **{"in": 2, "processed": 2})),
        a_report(a_row(2, **{"in": 3, "processed": 3, "signals": 1, "bars": 2})),
    ]
    assert add_up(reports) == Totals(ticks_in=10, processed=9, late=1, signals=1, bars=2)


def test_of_a_partition_in_two_reports_the_one_that_is_further_counts():
    behind, ahead = a_row(0, 10, **{"in": 5}), a_row(0, 20, **{"in": 8})
    assert add_up([a_report(ahead), a_report(behind)]).ticks_in == 8
    assert add_up([a_report(behind), a_report(ahead)]).ticks_in == 8


def test_unread_messages_are_those_between_the_state_and_the_end_of_the_log():
    rows = a_row(0, 10, end_offset=14), a_row(1, 3, end_offset=None), a_row(2, 7, end_offset=5)
    assert add_up([a_report(*rows)]).unread == 4


def test_nothing_adds_up_to_nothing():
    assert add_up([]) == Totals()


def test_a_good_run_has_no_problems():
    assert GOOD.problems() == []


def test_a_tick_in_no_class_is_a_problem():
    lost = replace(GOOD, totals=replace(GOOD.totals, processed=89))
    assert lost.problems() == ["100 ticks came in and 99 are accounted for"]


def test_ticks_that_were_sent_and_never_came_are_a_problem():
    assert replace(GOOD, sent=101).problems() == ["101 ticks were sent and 100 came in"]


def test_a_producer_that_does_not_say_what_it_sent_is_a_problem():
    assert replace(GOOD, sent=None).problems() == ["the producer did not say how many ticks it sent"]


def test_signals_that_are_not_on_the_topic_are_a_problem():
    assert replace(GOOD, signals_on_topic=4).problems() == ["5 signals were made and 4 are on the topic"]


def test_a_run_without_a_signal_is_a_problem():
    quiet = replace(GOOD, totals=replace(GOOD.totals, signals=0), signals_on_topic=0)
    assert quiet.problems() == ["no signal was made"]
    assert quiet.problems(signals_expected=False) == []


def test_the_summary_says_all_figures_to_people():
    assert GOOD.lines() == [
        "sent      100 ticks in 2.0 s, 50 ticks/s",
        "in        100 = 90 processed + 4 late + 3 duplicate + 2 dead + 1 held: balanced",
        "out       0 feature rows, 7 bars, 5 signals",
        "quality   0 ticks missing, 0 crossed quotes",
        "lag       0.2 s from the last tick sent until all were in",
    ]


def test_the_summary_says_all_figures_to_programs():
    assert replace(GOOD, sent=99).as_dict() == {
        "seconds": 2.0,
        "sent": 99,
        "in": 100,
        "processed": 90,
        "late": 4,
        "duplicate": 3,
        "dead": 2,
        "held": 1,
        "gap": 0,
        "crossed": 0,
        "messages": 0,
        "feature_rows": 0,
        "bars": 7,
        "signals": 5,
        "ticks_per_s": 50,
        "lag_s": 0.25,
        "balanced": False,
        "problems": ["99 ticks were sent and 100 came in"],
        "tasks": [],
    }


def test_a_run_of_no_time_has_no_speed():
    assert replace(GOOD, seconds=0.0).ticks_per_s == 0.0
