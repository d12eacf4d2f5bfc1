from nightdesk.stix.loss import DriftMonitor


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
