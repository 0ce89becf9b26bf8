"""The graph kept between runs: all rows that were read and all that was counted of them, so that a day costs a day.

Mirror   every row of the events and users, in the order of a log, whatever its times
Edges    what a graph counts of the rows visible as of a moment
         a later moment, late rows, retractions: the users whose visible rows differ are counted anew, nobody else
Folder   both on disk, checked before anything is believed; in doubt all is read and counted from the start
"""
