"""Every table that the program shows: functions from rows or plain values to a Table, one module per table."""
