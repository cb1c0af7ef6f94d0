"""WHEN things happen: jobs, schedules, sensors. What exists and how it is made belongs to the assets."""
