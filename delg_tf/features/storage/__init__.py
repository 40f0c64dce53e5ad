"""Where features of many images lie: folders of files, the single file."""
