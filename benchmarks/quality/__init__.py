"""Quality of the whole model and of its peers: data set × protocol × model, judged by one evaluation."""
