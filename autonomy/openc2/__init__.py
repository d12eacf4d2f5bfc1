"""OpenC2 in both directions: commands read, checked and translated to verbs and back; no transport, no state.

Source: OpenC2 Language Specification 1.0 (OASIS, Committee Specification 02). Extensions of ours carry the namespace
``x-nightdesk``. What breaks the language raises MappingError with the JSON pointer (status 400), what the language
knows and we do not raises UnsupportedError (501).
"""
