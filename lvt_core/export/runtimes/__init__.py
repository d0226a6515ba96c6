"""One module per runtime: conversion, quantisation, and what accelerators support."""
