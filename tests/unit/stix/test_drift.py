from nightdesk.stix.drift import DriftMonitor


def test_a_field_that_appears_after_learning_is_told_once() -> None:
    monitor = DriftMonitor(learning=3, patience=5)
    for _ in range(3):
        assert monitor.watch({"a": 1}, ()) == []
    assert monitor.watch({"a": 1, "b": 2}, ("b",)) == ["a field never seen before: b"]
    assert monitor.watch({"a": 1, "b": 2}, ("b",)) == []


def test_a_field_that_was_lost_from_the_start_is_no_drift() -> None:
    monitor = DriftMonitor(learning=2, patience=5)
    monitor.watch({"a": 1}, ("a",))
    monitor.watch({"a": 1}, ("a",))
    assert monitor.watch({"a": 1}, ("a",)) == []


def test_a_field_that_vanishes_is_told_once_and_again_after_it_came_back() -> None:
    monitor = DriftMonitor(learning=4, patience=2)
    for _ in range(4):
        monitor.watch({"a": 1, "b": 1}, ())
    assert monitor.watch({"a": 1}, ()) == []
    told = monitor.watch({"a": 1}, ())
    assert len(told) == 1
    assert told[0].endswith(": b")
    assert monitor.watch({"a": 1}, ()) == []
    monitor.watch({"a": 1, "b": 1}, ())
    monitor.watch({"a": 1}, ())
    assert len(monitor.watch({"a": 1}, ())) == 1


def test_a_rare_field_may_stay_away() -> None:
    monitor = DriftMonitor(learning=4, patience=2)
    monitor.watch({"a": 1, "rare": 1}, ())
    for _ in range(8):
        assert monitor.watch({"a": 1}, ()) == []


def test_a_nested_field_that_vanishes_is_told_by_its_path() -> None:
    monitor = DriftMonitor(learning=3, patience=2)
    for _ in range(3):
        monitor.watch({"process": {"pid": 1, "user": {"name": "ida"}}, "rows": [{"x": 1}]}, ())
    monitor.watch({"process": {"pid": 1, "user": {}}, "rows": [{}]}, ())
    (told,) = monitor.watch({"process": {"pid": 1, "user": {}}, "rows": [{}]}, ())
    assert told.endswith("2 alerts: process.user.name")


def test_of_an_object_that_vanishes_only_the_object_is_named() -> None:
    monitor = DriftMonitor(learning=3, patience=2)
    for _ in range(3):
        monitor.watch({"id": 1, "process": {"pid": 1, "user": {"name": "ida"}}}, ())
    monitor.watch({"id": 1}, ())
    (told,) = monitor.watch({"id": 1}, ())
    assert told.endswith("alerts: process")


def test_fields_that_an_attacker_names_do_not_fill_the_memory() -> None:
    monitor = DriftMonitor(learning=2, patience=2)
    for turn in range(4):
        monitor.watch({f"k{turn}-{n}": 1 for n in range(4_000)}, tuple(f"l{turn}-{n}" for n in range(4_000)))
    assert len(monitor._counts) <= 5_000
    assert len(monitor._known_lost) <= 5_000
