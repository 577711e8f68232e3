# Run before anybody is asked, so it may only plan.
variables {
  team = "shop"
}

run "few_visitors_still_get_two" {
  command = plan

  variables {
    visitors = 1
  }

  assert {
    condition     = output.replicas == 2
    error_message = "a single replica leaves nobody to answer while it is replaced"
  }
}

run "many_visitors_get_one_a_hundred" {
  command = plan

  variables {
    visitors = 450
  }

  assert {
    condition     = output.replicas == 5
    error_message = "450 visitors need five"
  }
}
