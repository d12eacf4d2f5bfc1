"""CEF and LEEF lines of any vendor, by the dictionaries of ArcSight and QRadar."""
