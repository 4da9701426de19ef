//! The judgement: fleet, request, policy, time and dice in, decision out.
