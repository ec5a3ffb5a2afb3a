from bench import fold, schedule


def test_the_fold_takes_the_whole_log_in_and_recovers_to_the_same_state():
    figures = fold.run(tasks=300, repeats=1)
    assert figures["records"] > 1_500
    assert figures["records_per_s"] > 0
    assert figures["recovery"]["same_state"] is True


def test_the_log_of_the_benchmark_has_retries_and_forgets():
    state = fold._fold(fold.make_log(10_000, devices=8))
    assert 0 < len(state.tasks) < 10_000
    assert {task.attempt for task in state.tasks.values()} == {1, 2}


def test_a_small_cluster_serves_every_task():
    figures = schedule.run(
        devices=16, tasks=400, growth=(8, 16), growth_tasks_a_device=5, least_growth_tasks=50
    )
    assert figures["decisions"] == 400
    assert set(figures["p99_wait_by_class"]) == {"urgent", "normal", "batch"}
    assert [(row["devices"], row["tasks"]) for row in figures["growth"]] == [(8, 50), (16, 80)]
