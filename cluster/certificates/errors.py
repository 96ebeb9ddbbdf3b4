"""What can be wrong with a certificate, as a sentence for whoever must act."""


class CertificateInvalid(Exception):
    """A file does not hold what it should, or does not go with another. file; problem: a clause, with what to do."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(file, problem)
        self.file, self.problem = file, problem

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"
