"""From candidates to a page: retrieve, rank, filter, boost, pin, diversify, explain, as typed stages."""
