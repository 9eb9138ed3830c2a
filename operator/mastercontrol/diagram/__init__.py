"""Pictures of a workflow's machine, as Mermaid and as SVG; for a job with the path that it took.

`graph` and `path` say what is to be drawn; `mermaid` draws it, and so does `svg`, with `layout` and `routes`: all pure.
`subject` reads what the command line names, from files or from a cluster, and `command` puts them together.
"""
