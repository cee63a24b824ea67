"""What tracing costs: spanlog beside an untraced program and beside other tracing libraries."""
