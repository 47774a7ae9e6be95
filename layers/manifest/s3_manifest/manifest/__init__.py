"""What a manifest is: heads, entries, pages, change records and jobs as frozen values, and their JSON.

Pure: no request, no clock, no environment. Imports no other wing.
"""
