"""The errors that users see."""


class LapcvaeError(Exception):
    """Something the user can understand: what was wrong and where (`cause`), and what to do next (`remedy`)."""

    def __init__(self, cause: str, remedy: str = ""):
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()


class Cancelled(LapcvaeError):
    """The user cancelled; results that had already arrived stay valid."""

    def __init__(self):
        super().__init__("Cancelled.")
