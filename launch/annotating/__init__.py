"""Parts of `launch.annotate`: what is asked, of whom, and what they said."""
