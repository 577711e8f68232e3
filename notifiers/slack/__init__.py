"""Slack: cards out, answers in. What imports ``slack_sdk`` lives here and nowhere else.

Work in progress: the plugin (``NAME``, ``Options``, ``build``) is offered once cards are posted.
"""
