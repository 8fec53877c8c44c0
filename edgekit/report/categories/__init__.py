"""The nine categories of the checklist, grouped by what they speak of; one function each."""
