"""The log of a training: a CSV file, a row a check."""

import csv


def append(log, row):
    """Adds `row`, a dictionary, to the file `log`; a new file gets the names first."""
    new = not log.exists()
    with open(log, "a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)
