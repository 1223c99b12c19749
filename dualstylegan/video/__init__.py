"""Restyling of videos: faces tracked, codes smoothed, results put back frame by frame."""
