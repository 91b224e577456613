"""stub"""
class Results:
    def __init__(self, project, catalogue): pass
    def check(self, variant): return []
