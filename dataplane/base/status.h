#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The status macros Abseil 20220623 does not ship. Start-up and control code only.

#define PENSTOCK_CONCAT_INNER(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_INNER(a, b)

// Returns the status of `expr` from the enclosing function unless it is OK.
#define RETURN_IF_ERROR(expr)                                      \
  do {                                                             \
    if (absl::Status status_ = (expr); !status_.ok()) [[unlikely]] \
      return status_;                                              \
  } while (false)

// Evaluates `expr`, a StatusOr, and assigns its value to `lhs` (which may be a declaration), or
// returns its status.
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration in parentheses is none
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(PENSTOCK_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  if (!tmp.ok()) [[unlikely]]                 \
    return std::move(tmp).status();           \
  lhs = *std::move(tmp)
// NOLINTEND(bugprone-macro-parentheses)
