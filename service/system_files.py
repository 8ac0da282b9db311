"""Files and folders that no person made, in folders of photos and in buckets: the same rule for all ways in."""

from __future__ import annotations

# Folders of file managers, photo programs, network storage and recycle bins, in lower case.
_FOLDERS = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@__thumb", "#recycle", "#snapshot"),
        *("$recycle.bin", "recycler", "recycled", "recycle bin", "trash", "trashes", "system volume information"),
        *("thumbnails", "thumbs", "_thumbs", "_thumbnails", "__macosx", "lost+found", "found.000", "~snapshot"),
        *("__pycache__", "node_modules", "temporary items", "network trash folder"),
    )
)
_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "zbthumbnail.info"))
_LIBRARIES = (".photoslibrary", ".photolibrary", ".aplibrary", ".lrdata", ".lrlibrary", ".migratedphotolibrary")


def is_system_name(name: str) -> bool:
    """Tell whether a folder or file is hidden, or belongs to the system or to a program."""
    lower = name.lower()
    if lower in (".", ".."):
        return False
    return lower.startswith(".") or lower in _FOLDERS or lower in _FILES or lower.endswith(_LIBRARIES)
