"""Jobs: submit, follow, judge, cancel."""
