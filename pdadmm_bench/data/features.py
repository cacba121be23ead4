"""Graph-augmented features: [x, Ãx, …, Ã^K x] with Ã = D̂^(-1/2) (A + I) D̂^(-1/2)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

COLUMNS = 1024


def hop_features(
    x: Tensor, edge_index: Tensor, rows: Tensor, *, hops: int, normalize: bool, columns: int = COLUMNS
) -> Tensor:
    """The ``rows`` (n,) of the hop features of ``x`` (N, d) over ``edge_index`` (2, E): (n, (hops + 1) d) float32.

    Columns are hop-major: columns k d … (k + 1) d - 1 are Ã^k x. Ã mixes rows only, so they are computed in blocks
    of ``columns``: at most two (N, columns) blocks exist beside ``x`` and the result. ``normalize`` divides each row
    of x by its sum of magnitudes (a zero row stays zero).
    """
    num_nodes, num_features = x.shape
    adjacency = normalized_adjacency(edge_index, num_nodes)
    scale = x.abs().sum(dim=1, keepdim=True) if normalize else None
    result = torch.empty(len(rows), (hops + 1) * num_features)
    for start in range(0, num_features, columns):
        block = x[:, start : start + columns].contiguous()
        if scale is not None:
            block = torch.where(scale > 0, block / scale, 0.0)
        for hop in range(hops + 1):
            if hop:
                block = adjacency @ block
            first = hop * num_features + start
            result[:, first : first + block.shape[1]] = block[rows]
    return result


def normalized_adjacency(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Ã of a symmetric ``edge_index`` as a sparse CSR matrix (num_nodes, num_nodes); self-loops are added once."""
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
    from torch_geometric.utils import to_torch_csr_tensor

    index, weight = gcn_norm(edge_index, None, num_nodes, dtype=torch.float32)
    with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(enable=True):
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return to_torch_csr_tensor(index, weight, size=(num_nodes, num_nodes))
