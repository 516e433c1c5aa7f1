"""The theme of the page: colors, fonts, and the static files that browsers load."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

__all__ = ["FOLDER", "HEAD", "theme"]

FOLDER = Path(__file__).parent / "static"
# Fonts of the visitor's system; the page downloads no fonts.
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_FIXED = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
HEAD = (
    '<meta name="color-scheme" content="light dark">'
    '<link rel="stylesheet" href="/look/studio.css">'
    '<script src="/look/studio.js" defer></script>'
    '<script src="/look/easel.js" defer></script>'
    '<script src="/look/masks.js" defer></script>'
)


def theme() -> gr.themes.Base:
    """Return the Gradio theme, with light and dark colors."""
    fonts = tuple(gr.themes.Font(each) for each in _FONTS)
    fixed = tuple(gr.themes.Font(each) for each in _FIXED)
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.indigo, neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md, font=fonts, font_mono=fixed,
    )  # fmt: skip
    pairs = {
        "body_background_fill": ("#f6f2ea", "#191714"),
        "body_text_color": ("#26221c", "#ebe5da"),
        "body_text_color_subdued": ("#6a6256", "#a79e8f"),
        "background_fill_primary": ("#fffdf8", "#23201c"),
        "background_fill_secondary": ("#faf6ee", "#1e1b18"),
        "block_background_fill": ("transparent", "transparent"),
        "block_label_background_fill": ("transparent", "transparent"),
        "block_label_text_color": ("#26221c", "#ebe5da"),
        "block_title_text_color": ("#26221c", "#ebe5da"),
        "block_info_text_color": ("#6a6256", "#a79e8f"),
        "border_color_primary": ("#ddd4c4", "#3a352e"),
        "input_background_fill": ("#ffffff", "#191714"),
        "input_border_color": ("#c9beac", "#4a443b"),
        "input_border_color_focus": ("#2d4a9e", "#9db4ff"),
        "color_accent_soft": ("#e4e9f7", "#2a3050"),
        "slider_color": ("#2d4a9e", "#9db4ff"),
        "link_text_color": ("#2d4a9e", "#9db4ff"),
        "checkbox_background_color_selected": ("#2d4a9e", "#5a78d6"),
        "button_primary_background_fill": ("#2d4a9e", "#9db4ff"),
        "button_primary_background_fill_hover": ("#233b80", "#b7c8ff"),
        "button_primary_text_color": ("#ffffff", "#14182b"),
        "button_secondary_background_fill": ("#ece5d8", "#332f29"),
        "button_secondary_text_color": ("#26221c", "#ebe5da"),
    }
    given = {
        "block_border_width": "0px", "block_shadow": "none", "block_padding": "8px 10px",
        "input_border_width": "1px", "panel_border_width": "0px", "layout_gap": "14px",
    }  # fmt: skip
    for name, (light, dark) in pairs.items():
        given |= {name: light, f"{name}_dark": dark}
    return base.set(**given)
