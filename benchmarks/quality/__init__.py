"""Quality of the whole model, of its parts and of its peers: data set × protocol × model, judged by one evaluation.

command.py      `penchant benchmark`: what is to be measured, then the tables
data_sets.py    the data sets by name, or a mapping file of your own
variants.py     the ablations: what is left out of the model, or changed
plan.py         a job for each model and seed; what is done is not done again
worker.py       one job, in a process of its own: fit, judge, write its cells
fit_*.py        how the model, a baseline or a peer comes to its rankings
cells.py        one figure of the table on disk: data set, protocol, model, seed, seen rule
table.py        cells to rows: means, spreads, differences; view.py shows them
"""
